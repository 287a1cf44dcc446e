! A toy grid code that evolves its cells by ONNX: what examples/onnx_grid.py does, in
! Fortran. $ONNXRUNTIME is a release of ONNX Runtime, unpacked: it holds include/ and lib/.
!
!     astrokeras export grav --to onnx
!     python about.py exports/grav-onnx
!     gfortran -O2 surrogate.c grid.f90 -I$ONNXRUNTIME/include -L$ONNXRUNTIME/lib \
!         -lonnxruntime -Wl,-rpath,$ONNXRUNTIME/lib -o grid
!     ./grid exports/grav-onnx

module surrogate
  use iso_c_binding
  implicit none
  interface
    ! Of surrogate.c. A Fortran array (species, cells) is C's (cells, species).
    function surrogate_open(path, species, parameters, threads) bind(c) result(handle)
      import
      character(kind=c_char), intent(in) :: path(*)
      integer(c_int), value :: species, parameters, threads
      type(c_ptr) :: handle
    end function
    function surrogate_step(handle, cells, x, p, years, carried, expected, status) &
        bind(c) result(failed)
      import
      type(c_ptr), value :: handle
      integer(c_int), value :: cells
      real(c_float), intent(inout) :: x(*), carried(*)
      real(c_float), intent(in) :: p(*), years(*)
      real(c_float), intent(out) :: expected(*)
      integer(c_int), intent(out) :: status(*)
      integer(c_int) :: failed
    end function
    subroutine surrogate_close(handle) bind(c)
      import
      type(c_ptr), value :: handle
    end subroutine
  end interface
end module

program grid
  use surrogate
  implicit none
  integer, parameter :: cells = 1000, steps = 100
  character(*), parameter :: shown(3) = [character(5) :: 'CO', '#CO', '#H2O']
  character(512) :: folder
  character(32), allocatable :: names(:), species(:)
  real(c_float), allocatable :: start(:), x(:, :), p(:, :)
  real(c_float) :: years(cells), carried(4, cells), expected(cells)
  integer(c_int) :: status(cells)
  real(c_double) :: density(cells)
  integer(c_int64_t) :: began, ended, rate, spent
  integer :: s, k, unit, i, step, unreliable
  type(c_ptr) :: chemistry

  folder = 'exports/grav-onnx'
  if (command_argument_count() > 0) call get_command_argument(1, folder)
  open (newunit=unit, file=trim(folder)//'/about.txt', status='old', action='read')
  read (unit, *) s, k
  allocate (names(k), species(s), start(s))
  do i = 1, k
    read (unit, *) names(i)
  end do
  do i = 1, s
    read (unit, *) species(i), start(i)
  end do
  close (unit)
  chemistry = surrogate_open(trim(folder)//'/step.onnx'//c_null_char, s, k, 1)
  if (.not. c_associated(chemistry)) stop 1

  allocate (x(s, cells), p(k, cells))
  x = spread(start, 2, cells)
  years = 200
  carried = 0
  spent = 0
  unreliable = 0
  do step = 0, steps - 1
    density = [(1d5 * 1d2**(dble(i) / (cells - 1)), i=0, cells - 1)] * 1.01d0**step
    do i = 1, k
      select case (names(i))
      case ('Density'); p(i, :) = real(density, c_float)
      case ('Radfield'); p(i, :) = 0.02
      case ('Av'); p(i, :) = real(10 * (density / 1d5)**0.6d0, c_float)
      case ('gasTemp'); p(i, :) = 15
      case default; error stop 'a parameter that this code does not know'
      end select
    end do
    call system_clock(began, rate)
    if (surrogate_step(chemistry, cells, x, p, years, carried, expected, status) /= 0) stop 1
    call system_clock(ended)
    unreliable = unreliable + count(status /= 0)
    spent = spent + ended - began
    x = 0.99 * x + 0.01 * cshift(x, -1, 2)  ! advection, as crude as can be
  end do
  call surrogate_close(chemistry)
  do i = 1, size(shown)
    print '(a5, 5es11.3)', shown(i), x(findloc(species, shown(i), 1), ::200)
  end do
  print '(i0, a, i0, a)', unreliable, ' of ', steps * cells, ' states are not reliable'
  print '(f0.1, a)', dble(spent) / rate / steps / cells * 1d6, ' microseconds a cell and step'
end program
