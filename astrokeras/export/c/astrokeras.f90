! The surrogate in Fortran 2003: what astrokeras.h declares, for arrays that are contiguous.
!
!     use astrokeras
!     type(c_ptr) :: chemistry
!     call astrokeras_open('surrogate.bin', chemistry, message)   ! message is '' if all is well
!     call astrokeras_evolve(chemistry, cells, x, p, years, carried, expected, status, message)
!
! x(species, cells), p(parameters, cells), years(cells) and carried(4, cells) are double
! precision; no array is transposed. carried is zero at the start.
module astrokeras
  use iso_c_binding
  implicit none
  private
  public :: astrokeras_open, astrokeras_evolve, astrokeras_close, astrokeras_size
  public :: astrokeras_species, astrokeras_parameter, astrokeras_atoms

  type, bind(c) :: cells_array
    type(c_ptr) :: data
    integer(c_int) :: is_double
    integer(c_intptr_t) :: cell, item
  end type

  type, bind(c) :: error_message
    integer(c_int) :: code
    character(kind=c_char) :: text(256)
  end type

  interface
    function create(path, handle, error) bind(c, name='astrokeras_create') result(code)
      import
      character(kind=c_char), intent(in) :: path(*)
      type(c_ptr), intent(out) :: handle
      type(error_message), intent(out) :: error
      integer(c_int) :: code
    end function
    subroutine astrokeras_close(handle) bind(c, name='astrokeras_destroy')
      import
      type(c_ptr), value :: handle
    end subroutine
    function species_index(handle, name) bind(c, name='astrokeras_species_index') &
        result(place)
      import
      type(c_ptr), value :: handle
      character(kind=c_char), intent(in) :: name(*)
      integer(c_int) :: place
    end function
    function parameter_index(handle, name) bind(c, name='astrokeras_parameter_index') &
        result(place)
      import
      type(c_ptr), value :: handle
      character(kind=c_char), intent(in) :: name(*)
      integer(c_int) :: place
    end function
    function element_count(handle) bind(c, name='astrokeras_element_count') result(n)
      import
      type(c_ptr), value :: handle
      integer(c_int) :: n
    end function
    function atoms_of(handle, species, element) bind(c, name='astrokeras_atoms') result(n)
      import
      type(c_ptr), value :: handle
      integer(c_int), value :: species, element
      real(c_double) :: n
    end function
    function species_count(handle) bind(c, name='astrokeras_species_count') result(n)
      import
      type(c_ptr), value :: handle
      integer(c_int) :: n
    end function
    function parameter_count(handle) bind(c, name='astrokeras_parameter_count') result(n)
      import
      type(c_ptr), value :: handle
      integer(c_int) :: n
    end function
    function step(handle, cells, state, parameters, years, carried, expected, status, &
                  workspace, error) bind(c, name='astrokeras_step') result(code)
      import
      type(c_ptr), value :: handle
      integer(c_size_t), value :: cells
      type(cells_array), value :: state, parameters, years, carried
      real(c_float), intent(out) :: expected(*)
      integer(c_int), intent(out) :: status(*)
      type(c_ptr), value :: workspace
      type(error_message), intent(out) :: error
      integer(c_int) :: code
    end function
  end interface

contains

  ! Reads the file of weights.
  subroutine astrokeras_open(path, handle, message)
    character(*), intent(in) :: path
    type(c_ptr), intent(out) :: handle
    character(*), intent(out) :: message
    type(error_message) :: error
    integer :: code
    code = create(trim(path)//c_null_char, handle, error)
    message = text_of(error)
  end subroutine

  ! The number of 'species', 'parameters' or 'elements'.
  function astrokeras_size(handle, what) result(n)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: what
    integer :: n
    n = -1
    if (what == 'species') n = species_count(handle)
    if (what == 'parameters') n = parameter_count(handle)
    if (what == 'elements') n = element_count(handle)
  end function

  ! The place of a species among the abundances, 0 if it is unknown.
  function astrokeras_species(handle, name) result(place)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: name
    integer :: place
    place = species_index(handle, trim(name)//c_null_char) + 1
  end function

  ! The place of a parameter, 0 if it is unknown.
  function astrokeras_parameter(handle, name) result(place)
    type(c_ptr), intent(in) :: handle
    character(*), intent(in) :: name
    integer :: place
    place = parameter_index(handle, trim(name)//c_null_char) + 1
  end function

  ! Atoms of each element in each species, (elements, species).
  function astrokeras_atoms(handle) result(atoms)
    type(c_ptr), intent(in) :: handle
    real(c_double), allocatable :: atoms(:, :)
    integer :: e, k
    allocate (atoms(element_count(handle), species_count(handle)))
    do k = 1, size(atoms, 2)
      do e = 1, size(atoms, 1)
        atoms(e, k) = atoms_of(handle, k - 1, e - 1)
      end do
    end do
  end function

  ! Evolves cells by one step in place; see astrokeras_step in astrokeras.h.
  subroutine astrokeras_evolve(handle, cells, x, p, years, carried, expected, status, &
                               message)
    type(c_ptr), intent(in) :: handle
    integer, intent(in) :: cells
    real(c_double), intent(inout), target :: x(*), carried(*)
    real(c_double), intent(in), target :: p(*), years(*)
    real(c_float), intent(out) :: expected(*)
    integer(c_int), intent(out) :: status(*)
    character(*), intent(out) :: message
    type(error_message) :: error
    integer :: code
    code = step(handle, int(cells, c_size_t), whole(c_loc(x), species_count(handle)), &
                whole(c_loc(p), parameter_count(handle)), whole(c_loc(years), 1), &
                whole(c_loc(carried), 4), expected, status, c_null_ptr, error)
    message = text_of(error)
  end subroutine

  function whole(place, items) result(array)
    type(c_ptr), intent(in) :: place
    integer, intent(in) :: items
    type(cells_array) :: array
    array = cells_array(place, 1, int(items, c_intptr_t), 1_c_intptr_t)
  end function

  function text_of(error) result(text)
    type(error_message), intent(in) :: error
    character(256) :: text
    integer :: i
    text = ''
    if (error%code == 0) return
    do i = 1, 256
      if (error%text(i) == c_null_char) exit
      text(i:i) = error%text(i)
    end do
  end function

end module
